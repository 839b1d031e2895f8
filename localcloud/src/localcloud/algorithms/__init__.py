"""Programs that the local cloud puts into images which AWS provides. They run in containers alone."""
