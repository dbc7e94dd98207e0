"""What people look at: point clouds and colored pictures. Reads no data sets."""
