"""What parts and jobs say of themselves: small, bounded, and added up without a row being read again."""
