"""The way to the providers: the only sockets that ostinato opens to them, and when to try again.

`exchange` holds the values that go in and come out, `http` and `async_http` the two shells that carry them
over the network, `retry` the decision whether a failure is worth another try. The HTTP library is imported
here alone, and only when a request goes out.
"""
