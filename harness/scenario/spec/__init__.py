"""The scenario's keys as pydantic models."""
