"""One file per step of Robocrystallographer that was slow; the same condensed structure, sooner."""
