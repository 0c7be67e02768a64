"""From a user's images, which are not trusted, to a prepared data set. In the order of the work:

`archives` unpacks; `sources` says where the images may be; `image_folders` lists them by domain and class; `builder`
checks and writes each image; `once` makes sure that this happens once, whole or not at all; `prepare_images` puts these
steps together. `policies` says what happens to what cannot be used, and `what_is_there` what a folder has instead of a
data set. Then `verify` reads the data set back, `counts` shows its size, and `copy_prepared` copies it.
"""
