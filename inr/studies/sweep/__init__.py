"""Many fits over recipes, settings, pictures and seeds: `inr sweep`."""
