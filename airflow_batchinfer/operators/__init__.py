"""The tasks of a DAG: thin, each a call into the engine. A DAG file is parsed every few seconds, so what is heavy is imported in `execute`.

RegisterModel        ParallelRunOperator = {id}.plan -> {id}.run, mapped over the nodes -> {id}.merge
"""
