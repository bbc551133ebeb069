//! Nothing to build: see the manifest.
