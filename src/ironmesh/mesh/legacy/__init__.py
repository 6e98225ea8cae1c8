"""The mesh as published 0.8 nodes know it: their routes, and the frames that they pass on. Pure."""
