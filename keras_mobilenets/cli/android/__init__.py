"""`keras-mobilenets android`: models on phones, through Android's debug bridge."""
