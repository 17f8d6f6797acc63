"""The path of a call, composed: a synchronous and an asynchronous shell around one core."""
