"""From a user's images, which are not trusted, to a prepared data set: found, checked, written once."""
