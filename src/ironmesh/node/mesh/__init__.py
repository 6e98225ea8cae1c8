"""What a node does for the mesh, part by part."""
