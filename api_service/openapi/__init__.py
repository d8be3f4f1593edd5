"""The OpenAPI 3.1 document, built from the annotations of routes."""

from api_service.openapi.document import document_of

__all__ = ["document_of"]
