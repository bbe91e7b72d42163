"""Gives back the headers that it got."""

import json


def init():
    pass


def run(request_headers, raw_data):
    return {"data": json.loads(raw_data), "headers": request_headers, "kind": type(request_headers).__name__}
