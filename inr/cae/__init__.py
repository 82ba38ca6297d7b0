"""Kind cae: a trained convolutional autoencoder whose quantized latents are the file."""
