"""Local web pages about one site: read-only, server-rendered, complete without JavaScript.

app           routes, and how failures become pages
protection    host allow-list and the headers of every response; bare ASGI
rendering     templates, hashed static files
wording       how numbers, instants, ages and digests are written; pure
view          what the pages read of a site; holds no key and writes nothing
status        status words, each with a sign and a colour
connections   which connections this program has beyond the machine
bars          geometry of server-drawn charts; pure
pages         one module per page: a function from the view and the query to a template and its context
"""
