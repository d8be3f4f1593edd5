"""The API's document (OpenAPI 3.1), made of what the routes say of themselves, and the page that shows it."""

from api_service.openapi.document import document_of
from api_service.openapi.page import page_of

__all__ = ["document_of", "page_of"]
