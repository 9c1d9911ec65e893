"""What is evaluated: utterances and their recordings, which of them are chosen, and the bits they take."""
