"""One module per page. A page function takes the view and the query, and gives a template with its context."""
