"""How fast searches and trainings are."""
