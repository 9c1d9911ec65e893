"""An HTTP server: speech, transcriptions, token files. Follow a request: app, guard, a route, work, the codec."""
