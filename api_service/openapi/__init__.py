"""The OpenAPI 3.1 document, built from the annotations of routes, and the page that renders it."""

from api_service.openapi.document import document_of
from api_service.openapi.page import page_of

__all__ = ["document_of", "page_of"]
