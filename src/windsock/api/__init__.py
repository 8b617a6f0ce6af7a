"""The rooms: one module for each tag of the document; schema first, then handlers."""
