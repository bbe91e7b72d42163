"""Takes named values of plain Python."""

import datetime

from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType as Plain
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    pass


@input_schema("count", Plain(1))
@input_schema("rate", Plain(0.5), optional=True)
@input_schema("options", Plain({"deep": Plain({"at": Plain(1)}), "names": Plain([Plain("a")]), "free": 1}), optional=True)
@input_schema("when", Plain(datetime.datetime(2026, 11, 21, 12, 30, tzinfo=datetime.UTC)), optional=True)
@input_schema("raw", Plain(b"abc"), optional=True)
@output_schema(Plain({"count": 1, "rest": ["a"]}))
def run(count, rate=None, options=None, when=None, raw=None, other="default"):
    given = [rate, options, when and when.isoformat(), raw and raw.hex(), other]
    return {"count": count, "rest": given, "kinds": [type(one).__name__ for one in (count, *given)]}
