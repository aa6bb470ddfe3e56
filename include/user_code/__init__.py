"""Your own functions, for rows of kind `python`: each module here can be named in a row."""
