"""How long the vendor's access has been open."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("station", "0013_roles")]

    operations = [
        migrations.CreateModel(
            name="VendorAccess",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "door",
                    models.CharField(choices=[("local", "local"), ("remote", "remote")], max_length=10, unique=True),
                ),
                ("opened_at", models.DateTimeField()),
                ("used_ms", models.PositiveBigIntegerField(default=0)),
                ("counted_at", models.DateTimeField()),
                ("boot_id", models.CharField(blank=True, default="", max_length=36)),
                ("steady_ms", models.BigIntegerField(blank=True, null=True)),
            ],
            options={"verbose_name": "vendor access", "verbose_name_plural": "vendor access"},
        ),
    ]
