"""What `PlanScheduler` knows of diffusers: configurations, their grids of noise levels, their methods."""
