"""Command sessions that run by themselves: many targets, and jobs for cron."""
