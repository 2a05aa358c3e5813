"""Who may do what on the platform's MLflow server: what MLflow's own permissions cannot tell apart."""
