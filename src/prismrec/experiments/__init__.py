"""The papers' tables and figures as data, the runs behind them, the report."""
