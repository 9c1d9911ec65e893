"""recipe.yaml -> build -> loop: the loop knows steps and states, a task knows its networks and losses."""
