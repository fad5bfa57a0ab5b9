package meshsync
