"""What the notebooks do: one study per notebook, imported by notebooks, commands and tests only."""
