"""What synthesized templates contain, read from the templates alone and written for people and programs."""
