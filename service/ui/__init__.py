"""The page at /ui: what is served, a place to try it, jobs, and the load, in a browser and without a build step."""
