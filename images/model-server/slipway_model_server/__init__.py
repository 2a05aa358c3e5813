"""What a trained model and the server that answers for it agree on, and the server itself."""
