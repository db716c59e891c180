"""Charts as data, drawn by Plotly and by matplotlib."""
