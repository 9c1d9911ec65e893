"""What comes in from outside is checked here: arguments, documents, optional packages, other people's model folders."""
