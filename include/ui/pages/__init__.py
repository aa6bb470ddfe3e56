"""One module per page, with the forms that it sends."""
