"""Server-rendered pages: queries and commands of the API with renderers that make HTML."""
