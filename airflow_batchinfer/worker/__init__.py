"""The child process: it runs the user's script, in the user's interpreter, and nothing else.

Standard library only, no import from the rest of the package, syntax that Python 3.8 reads: the script's environment may
hold none of our dependencies. It decides nothing: it does what the frames say and reports what happened as text and
bytes, never as pickles. Its modules import each other relatively, since in the child the package bears a private name.
"""
