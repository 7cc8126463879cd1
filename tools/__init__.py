"""For authors and teachers: run, refresh and stamp notebooks, classrooms, handouts. No notebook imports it."""
