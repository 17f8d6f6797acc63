"""The gateway: an HTTP server that any OpenAI or Anthropic client can be pointed at."""
