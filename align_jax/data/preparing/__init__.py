"""From a user's images, which are not trusted, to a prepared data set. In the order of the work:

`archives` unpacks; `sources` says where the images may lie; `image_folders` lists them by domain and class; `builder`
checks and writes each; `once` sees to it that this happens once, whole or not at all; `prepare_images` does all of it
for a data set. Then `counts` shows what was found, `verify` reads it back, and `copy_prepared` copies it.
"""
