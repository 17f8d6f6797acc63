"""The provider's prompt cache: where marks go."""
