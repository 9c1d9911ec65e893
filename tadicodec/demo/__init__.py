"""A page in the browser, on this machine and without the network: hear speech from its tokens, let texts be spoken."""
