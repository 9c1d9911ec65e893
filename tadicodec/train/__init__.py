"""Training: a recipe says what to build, the loop knows steps and states, a task knows its networks and losses."""
