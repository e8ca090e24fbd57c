"""The name under which Dify's worker is started."""

from app import celery

__all__ = ["celery"]
