"""Frames of pandas."""

from __future__ import annotations

import json
from typing import Any, Dict

from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType
from inference_schema.parameter_types.describing import described


class PandasParameterType(AbstractParameterType):
    """A frame with the sample's columns, of their types."""

    def __init__(
        self,
        sample_input: Any,
        enforce_column_type: bool = True,  # noqa: FBT001, FBT002 - as scripts call it
        enforce_shape: bool = True,  # noqa: FBT001, FBT002 - as above
        apply_column_names: bool = False,  # noqa: FBT001, FBT002 - as above
        orient: str = "records",
    ) -> None:
        super().__init__(sample_input)
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape
        self.apply_column_names = apply_column_names
        self.orient = orient

    def deserialize_input(self, input_data: Any) -> Any:
        import pandas

        if isinstance(input_data, pandas.DataFrame):
            return input_data
        if not isinstance(input_data, (list, dict)):
            raise ValueError(f"a frame in the form {self.orient!r} is expected, not {type(input_data).__name__}")
        frame = self._frame(pandas, input_data)
        if self.apply_column_names:
            frame.columns = list(self.sample_input.columns)
        if self.enforce_shape and len(frame.columns) != len(self.sample_input.columns):
            raise ValueError(f"{len(self.sample_input.columns)} columns are expected, as in the sample, not {len(frame.columns)}")
        if self.enforce_column_type:
            kinds = {name: kind for name, kind in self.sample_input.dtypes.items() if name in frame.columns}
            frame = frame.astype(kinds)
        return frame

    def _frame(self, pandas: Any, given: Any) -> Any:
        if self.orient == "split":
            return pandas.DataFrame(given["data"], index=given.get("index"), columns=given.get("columns"))
        if self.orient == "index":
            return pandas.DataFrame.from_dict(given, orient="index")
        return pandas.DataFrame(given)

    def input_to_swagger(self) -> Dict[str, Any]:
        schema = described(json.loads(self.sample_input.to_json(orient=self.orient, date_format="iso")))
        schema["format"] = f"pandas.DataFrame:{self.orient}"
        if self.orient == "records":
            for name, kind in self.sample_input.dtypes.items():
                if kind.kind in "mM":
                    schema["items"]["properties"][str(name)]["format"] = "timedelta" if kind.kind == "m" else "date-time"
        return schema


__all__ = ["PandasParameterType"]
