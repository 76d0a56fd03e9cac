"""What will run the model: operator forms, XNNPACK, NNAPI, the GPU delegate; inspection."""
