"""Why a job of a run waited as it did, and what would have let it start sooner: `rerun` asks the core, `story` tells."""
