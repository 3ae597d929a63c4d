"""What people read and programs parse of a result: tables, pictures, JSON, files."""
