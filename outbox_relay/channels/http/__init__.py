"""SMS gateways with an HTTP API: ``session`` sends the requests, each other module is one gateway's API."""
